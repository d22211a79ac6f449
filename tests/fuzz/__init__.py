"""Bodies that no client would send, read by the code that reads those of clients."""

"""The access API: marts over HTTP, for programs and people who know nothing of the lake."""

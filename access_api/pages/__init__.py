"""Pages for people: the catalog, quality, and how a browser signs in."""

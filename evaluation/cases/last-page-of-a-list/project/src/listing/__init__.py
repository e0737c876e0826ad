"""Lists the documents of an archive page by page."""

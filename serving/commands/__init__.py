"""Commands for people beside serving itself: keys, versions, tune, show samples."""

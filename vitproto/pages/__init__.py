"""The look that all pages share."""

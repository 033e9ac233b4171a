"""A page per trait: its prototypes, and the images that they find and miss."""

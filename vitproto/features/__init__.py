"""The images and patches that drive a prototype."""

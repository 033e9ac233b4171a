"""Which images and patches drive a prototype or a latent?"""

"""The parts of simclr_images.py: images, augmented views, training, linear probes, the picture."""

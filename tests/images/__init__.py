"""The image, the compose file and the containers on a real engine: `make images`."""

"""Stands beside the toys, so that pytest finds them from the folder of every room."""

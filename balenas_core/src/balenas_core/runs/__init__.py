"""What stands on the disk of a search or a training, and how it is begun, gone on with and read.

How files are written safely is in ``files``; what is computed in between is in ``engine``.
"""

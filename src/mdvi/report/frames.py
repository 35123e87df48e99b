"""Columns → a data frame of pandas, named arrays → a data set of xarray."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.extras import explained

if TYPE_CHECKING:
    from pandas import DataFrame as DataFrame  # for those who say in their signatures what they return
    from xarray import Dataset as Dataset


def frame_of(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> "DataFrame":
    """A data frame of columns of the same length; None in a column of whole numbers is a missing value there."""
    with explained():
        import pandas as pd
    return pd.DataFrame({name: pd.Series(column, dtype=_kind(column)) for name, column in columns.items()})


def dataset_of(
    variables: Mapping[str, tuple[Sequence[str], np.ndarray]],
    coordinates: Mapping[str, Sequence[Any]],
    attributes: Mapping[str, Any],
) -> "Dataset":
    """A data set of arrays, each with the names of its axes, and what is written along these axes."""
    with explained():
        import xarray as xr
    labels = {axis: (axis, _flat(values)) for axis, values in coordinates.items()}
    arrays = {name: (tuple(axes), values) for name, (axes, values) in variables.items()}
    return xr.Dataset(arrays, labels, dict(attributes))


def _kind(column: Any) -> Any:
    """The type of a column: a list with None among whole numbers would otherwise become one of floats."""
    if not isinstance(column, list) or None not in column:
        return None
    return "Int64" if all(value is None or isinstance(value, int) for value in column) else object


def _flat(values: Sequence[Any]) -> np.ndarray:
    """Labels as an array of one axis, tuples included."""
    if any(isinstance(value, tuple) for value in values):
        labels = np.empty(len(values), object)
        labels[:] = values
        return labels
    return np.asarray(values)

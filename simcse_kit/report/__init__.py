"""Charts and pages of results."""

from simcse_kit.report.charts import (
    Curve,
    GeometryPath,
    GeometryPoint,
    GeometryStep,
    geometry_plane,
    query_changes,
    similarity_against_gold,
    similarity_by_gold,
    training_curves,
    variance_spectrum,
)
from simcse_kit.report.page import Figure, Page, Section, Table, page_markdown, write_page
from simcse_kit.report.picture import Picture

__all__ = [
    "Curve",
    "Figure",
    "GeometryPath",
    "GeometryPoint",
    "GeometryStep",
    "Page",
    "Picture",
    "Section",
    "Table",
    "geometry_plane",
    "page_markdown",
    "query_changes",
    "similarity_against_gold",
    "similarity_by_gold",
    "training_curves",
    "variance_spectrum",
    "write_page",
]

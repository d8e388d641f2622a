"""Pictures and pages of what was measured."""

from simcse_kit.report.charts import Geometry, geometry_path, similarity_by_gold, training_curve
from simcse_kit.report.page import Figure, Page, write_page

__all__ = ["Figure", "Geometry", "Page", "geometry_path", "similarity_by_gold", "training_curve", "write_page"]

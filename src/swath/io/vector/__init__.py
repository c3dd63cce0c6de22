"""Vector layers: shapes with a class column in any CRS, and GeoPackages that are written."""

from swath.io.vector.class_column import find_class_column, is_class_name
from swath.io.vector.class_values import align_classes
from swath.io.vector.crs import crs_code, crs_name
from swath.io.vector.features import Features, LayerOptions
from swath.io.vector.files import layer_names, read_layer
from swath.io.vector.formats import FORMATS, VECTOR_EXTENSIONS, is_vector_file
from swath.io.vector.geometries import listed_features, mend
from swath.io.vector.geopackage import EditedLayer, Row, decode_geometries
from swath.io.vector.ogr import read_facts
from swath.io.vector.reading import read_features, read_geometries, refuse_losses
from swath.io.vector.writing import VectorLayer, put_layer, write_layer

__all__ = [
    "FORMATS",
    "VECTOR_EXTENSIONS",
    "EditedLayer",
    "Features",
    "LayerOptions",
    "Row",
    "VectorLayer",
    "align_classes",
    "crs_code",
    "crs_name",
    "decode_geometries",
    "find_class_column",
    "is_class_name",
    "is_vector_file",
    "layer_names",
    "listed_features",
    "mend",
    "put_layer",
    "read_facts",
    "read_features",
    "read_geometries",
    "read_layer",
    "refuse_losses",
    "write_layer",
]

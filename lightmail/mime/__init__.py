"""Octets to parts: an iterative scanner, and ENVELOPE, BODYSTRUCTURE, offsets and search text rendered from it."""

from lightmail.mime.fields import cut_fields, decoded_field, decoded_header, field_values
from lightmail.mime.parts import MessageExtent, PartExtent, all_parts, find_part
from lightmail.mime.rendering import RENDER_VERSION, render
from lightmail.mime.structure import strip_extensions
from lightmail.mime.text import decode_part, searchable

__all__ = [
    "RENDER_VERSION",
    "MessageExtent",
    "PartExtent",
    "all_parts",
    "cut_fields",
    "decode_part",
    "decoded_field",
    "decoded_header",
    "field_values",
    "find_part",
    "render",
    "searchable",
    "strip_extensions",
]

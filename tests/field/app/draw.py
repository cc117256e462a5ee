#!/usr/bin/python3
import cairo
import gi
gi.require_version("Pango", "1.0")
gi.require_version("PangoCairo", "1.0")
from gi.repository import Pango, PangoCairo

surface = cairo.ImageSurface(cairo.Format.A8, 200, 40)
context = cairo.Context(surface)
layout = PangoCairo.create_layout(context)
layout.set_font_description(Pango.FontDescription("Sans 16"))
layout.set_text("drawn", -1)
PangoCairo.show_layout(context, layout)
surface.flush()
print("glyphs", layout.get_unknown_glyphs_count(), "ink", sum(bytes(surface.get_data())) > 1000)

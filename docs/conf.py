"""The documentation site: `make docs` builds it, and nothing that it shows comes from a network."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "mdvi"
author = "The mdvi developers"
release = version = version_of("mdvi")
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "site_docstrings",
    "site_math",
    "site_names",
    "site_offline",
    "site_pictures",
    "site_tables",
]
exclude_patterns = ["extensions", "style", "tutorials", "gallery", "built/**/README.txt", "built/**/*.md5"]
root_doc = "index"
nitpicky = False
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

default_role = "code"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = True
toc_object_entries_show_parents = "hide"
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = "mdvi"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "mdvi"},
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
copyright = "The mdvi developers, Apache-2.0"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

sphinx_gallery_conf = {
    "examples_dirs": ["tutorials", "gallery"],
    "gallery_dirs": ["built/tutorials", "built/gallery"],
    "filename_pattern": r"\.py",
    "abort_on_example_error": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "site_style.reset"),
    "image_scrapers": ("matplotlib", "site_style.shown"),
    "ignore_repr_types": r"matplotlib\.figure",
    "min_reported_time": 1e9,
    "show_memory": False,
    "show_signature": False,
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": ("_repr_html_", "__repr__"),
    "default_thumb_file": None,
    "matplotlib_animations": False,
    "image_srcset": ["2x"],
    "nested_sections": False,
    "write_computation_times": False,
}

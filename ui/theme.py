"""How the page looks: colours, type and shape as a Gradio theme, and the fonts it serves itself.

Everything that a theme variable can say is said here; what it cannot say is in `styles`.
"""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr

from ui.embedding import Embedding

FONTS = Path(__file__).parent / "fonts"
STYLES = tuple(
    Path(__file__).parent / "styles" / f"{name}.css"
    for name in ("page", "answer", "zoom", "several", "explain", "compare", "embed")
)
SCRIPTS = tuple(
    Path(__file__).parent / "scripts" / f"{name}.js"
    for name in (
        *(
            "embedded",
            "storage",
            "a11y",
            "too_large",
            "tabs",
            "result",
            "zoom",
            "session",
            "link",
            "explain",
            "save",
            "part",
            "several",
        ),
        *("history", "paste", "compare", "batch"),
    )
)

# One ink, one accent and a cool paper; each step is used for one thing only.
PINE = gr.themes.Color(
    name="pine",
    c50="#eef7f4",
    c100="#d7ece5",
    c200="#b0d9cc",
    c300="#82c3b0",
    c400="#5cc9ac",
    c500="#1f8f76",
    c600="#0c6b58",
    c700="#095545",
    c800="#083f34",
    c900="#062b24",
    c950="#041c18",
)
STONE = gr.themes.Color(
    name="stone",
    c50="#f4f6f5",
    c100="#e9edeb",
    c200="#d9e0dd",
    c300="#bcc8c3",
    c400="#8fa099",
    c500="#64756e",
    c600="#4c5c56",
    c700="#2f3c37",
    c800="#1c2522",
    c900="#151c1a",
    c950="#0e1412",
)

_LATIN = (
    "U+0000-00FF,U+0131,U+0152-0153,U+02BB-02BC,U+02C6,U+02DA,U+02DC,U+0304,U+0308,U+0329,"
    "U+2000-206F,U+20AC,U+2122,U+2191,U+2193,U+2212,U+2215,U+FEFF,U+FFFD"
)
_LATIN_EXT = (
    "U+0100-02BA,U+02BD-02C5,U+02C7-02CC,U+02CE-02D7,U+02DD-02FF,U+1D00-1DBF,U+1E00-1E9F,"
    "U+1EF2-1EFF,U+2020,U+20A0-20AB,U+20AD-20C0,U+2113,U+2C60-2C7F,U+A720-A7FF"
)
_FACES = (
    ("Hanken Grotesk", "hanken-grotesk-latin-wght-normal.woff2", _LATIN),
    ("Hanken Grotesk", "hanken-grotesk-latin-ext-wght-normal.woff2", _LATIN_EXT),
    ("JetBrains Mono", "jetbrains-mono-latin-wght-normal.woff2", _LATIN),
)


class LocalFace(gr.themes.Font):
    """A font family whose files lie in `ui/fonts`; other scripts fall to the reader's own fonts."""

    def stylesheet(self) -> dict[str, str | None]:
        """Rules with addresses relative to the page's theme.css, so that a proxy path keeps."""
        rules = [
            f"@font-face {{ font-family: '{family}'; font-weight: 100 900; font-display: swap; "
            f"src: url('gradio_api/file={FONTS / file}') format('woff2'); unicode-range: {span}; }}"
            for family, file, span in _FACES
            if family == self.name
        ]
        return {"url": None, "css": "\n".join(rules)}


def script(embedding: Embedding) -> str:
    """All scripts as the one function that Gradio calls once the page stands; they are told of
    the pages around this one as EMBEDDING."""
    calls = (f"({path.read_text('utf-8').rstrip()})();" for path in SCRIPTS)
    told = f"const EMBEDDING = {json.dumps(embedding.for_script())};"
    return f"() => {{\n{told}\n{chr(10).join(calls)}\n}}"


def build_theme() -> gr.themes.Base:
    """The theme, after telling Gradio that it may serve the font files."""
    gr.set_static_paths([FONTS])
    theme = gr.themes.Base(
        primary_hue=PINE,
        secondary_hue=PINE,
        neutral_hue=STONE,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
        font=(LocalFace("Hanken Grotesk"), "system-ui", "Noto Sans", "sans-serif"),
        font_mono=(LocalFace("JetBrains Mono"), "ui-monospace", "monospace"),
    )
    theme.name = "light-table"
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="#14211d",
        body_text_color_dark="#e6eeeb",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="#a3b4ad",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_800",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        color_accent="*primary_600",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="*primary_900",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_400",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_padding="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_border_width_dark="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="#a3b4ad",
        block_label_text_size="*text_sm",
        block_label_text_weight="600",
        block_label_shadow="none",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="#a3b4ad",
        block_title_text_size="*text_sm",
        block_title_text_weight="600",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0px",
        block_title_border_width="0px",
        block_title_border_width_dark="0px",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="#a3b4ad",
        block_info_text_size="*text_sm",
        layout_gap="16px",
        form_gap_width="16px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="none",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="#8fa099",
        button_large_radius="8px",
        button_large_text_weight="600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_border_color="*primary_600",
        button_primary_border_color_dark="*primary_400",
        button_primary_text_color="white",
        button_primary_text_color_dark="*primary_950",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_secondary_text_color="#14211d",
        button_secondary_text_color_dark="#e6eeeb",
        button_border_width="1px",
        button_transition="background-color 0.12s ease, border-color 0.12s ease",
        checkbox_label_background_fill="white",
        checkbox_label_background_fill_dark="*neutral_900",
        checkbox_label_background_fill_hover="*neutral_100",
        checkbox_label_background_fill_hover_dark="*neutral_800",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_label_background_fill_selected_dark="*primary_400",
        checkbox_label_border_color="*neutral_300",
        checkbox_label_border_color_dark="*neutral_700",
        checkbox_label_border_color_selected="*primary_600",
        checkbox_label_border_color_selected_dark="*primary_400",
        checkbox_label_border_width="1px",
        checkbox_label_text_color="#14211d",
        checkbox_label_text_color_dark="#e6eeeb",
        checkbox_label_text_color_selected="white",
        checkbox_label_text_color_selected_dark="*primary_950",
        checkbox_label_shadow="none",
        checkbox_label_gap="6px",
        checkbox_label_padding="7px 12px",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        loader_color="*primary_600",
        loader_color_dark="*primary_400",
    )

"""The bundled tiny models and sample data, and the scripts that made them."""

from __future__ import annotations

from pathlib import Path

MODEL = Path(__file__).parent / "minicpm"
"""Folder of the nano MiniCPM, in the published layout."""
DATA = Path(__file__).parent / "data"
"""Folder of the sample data."""
VISION_MODEL = Path(__file__).parent / "minicpmv"
"""Folder of the nano MiniCPM-V, in the published layout."""
TRANSNORMER_MODEL = Path(__file__).parent / "transnormer"
"""Folder of the nano TransNormerLLM, in the published layout."""

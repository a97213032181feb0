"""The ToolACE method in plain Python and asyncio: it imports no Ray and needs only an Engine."""

__version__ = "0.1.0"

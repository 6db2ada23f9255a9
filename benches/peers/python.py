"""A server of the Python SDK with one tool, to compare with."""

from typing import TypedDict

try:
    from mcp.server.mcpserver import MCPServer
except ImportError:  # before 2.0
    from mcp.server.fastmcp import FastMCP as MCPServer


class Measured(TypedDict):
    length: int
    text: str


server = MCPServer("python-peer", log_level="ERROR")


@server.tool()
async def measure_text(text: str) -> Measured:
    """Gives a text back with its length."""
    return {"length": len(text), "text": text}


server.run("stdio")

"""Drives a Callboard as a host on the Python SDK does: python_sdk.py CALLBOARD

It prints one JSON line with what it saw; the test compares.
"""

import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def structured(result):
    return getattr(result, "structured_content", None) or getattr(result, "structuredContent", None)


def is_error(result):
    return getattr(result, "is_error", None) or getattr(result, "isError", False)


async def main():
    seen = {}
    server = StdioServerParameters(command=sys.argv[1], args=["serve"], env=dict(os.environ))
    async with stdio_client(server) as (reading, writing), ClientSession(reading, writing) as session:
        greeting = await session.initialize()
        if os.environ.get("TEST_CANCEL"):
            # A search in `slow` is held until its caller goes away.
            call = asyncio.create_task(session.call_tool("count_documents", {"index": "slow"}))
            await asyncio.sleep(0.5)
            call.cancel()
            try:
                await call
                seen["cancelled"] = False
            except asyncio.CancelledError:
                seen["cancelled"] = True
            seen["ping"] = await session.send_ping() is not None
            print(json.dumps(seen))
            return
        info = getattr(greeting, "server_info", None) or greeting.serverInfo
        seen["server"] = info.name
        seen["tools"] = [tool.name for tool in (await session.list_tools()).tools]

        answer = await session.call_tool("get_server_info", {})
        seen["copies_agree"] = json.loads(answer.content[0].text) == structured(answer)
        failure = await session.call_tool("count_rows", {"tabel": "x"})
        envelope = json.loads(failure.content[0].text)
        seen["failure"] = {"isError": is_error(failure), "code": envelope["code"], "argument": envelope["argument"]}

        documents = [{"number": number, "word": f"word {number}"} for number in range(3000)]
        indexed = await session.call_tool(
            "index_documents", {"index": "things", "documents": documents, "id_field": "number"}
        )
        seen["indexed"] = structured(indexed)["indexed"]
        notes = []

        async def progress(done, total, message):
            notes.append(done)

        exported = await session.call_tool(
            "bulk_export", {"index": "things", "destination": "file"}, progress_callback=progress
        )
        seen["exported"] = structured(exported)["count"]
        seen["progress"] = len(notes) > 0

        seen["ping"] = await session.send_ping() is not None
    print(json.dumps(seen))


asyncio.run(main())

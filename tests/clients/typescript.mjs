// Drives a Callboard as a host on the TypeScript SDK does: typescript.mjs NODE_MODULES CALLBOARD
// It prints one JSON line with what it saw; the test compares.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [modules, callboard] = process.argv.slice(2);
const require = createRequire(path.join(modules, "x.js"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = await load("@modelcontextprotocol/sdk/client/stdio.js");

const seen = {};
const client = new Client({ name: "typescript-test", version: "1" });
const transport = new StdioClientTransport({ command: callboard, args: ["serve"], env: process.env, stderr: "inherit" });
await client.connect(transport);
// A search in `slow` is held until its caller goes away.
if (process.env.TEST_CANCEL) {
    const abort = new AbortController();
    const call = client.callTool({ name: "count_documents", arguments: { index: "slow" } }, undefined, { signal: abort.signal });
    setTimeout(() => abort.abort("enough"), 500);
    const cancelled = await call.then(() => false, () => true);
    const ping = (await client.ping()) !== undefined;
    await client.close();
    console.log(JSON.stringify({ cancelled, ping }));
    process.exit(0);
}

seen.server = client.getServerVersion().name;
seen.instructions = client.getInstructions().length > 0;
seen.tools = (await client.listTools()).tools.map((tool) => tool.name);

const info = await client.callTool({ name: "get_server_info", arguments: {} });
seen.copies_agree = JSON.stringify(JSON.parse(info.content[0].text)) === JSON.stringify(info.structuredContent);

const failure = await client.callTool({ name: "count_rows", arguments: { tabel: "x" } });
seen.failure = { isError: failure.isError, code: failure.structuredContent.code, argument: failure.structuredContent.argument };

const documents = Array.from({ length: 3000 }, (_, number) => ({ number, word: `word ${number}` }));
const indexed = await client.callTool({ name: "index_documents", arguments: { index: "things", documents, id_field: "number" } });
seen.indexed = indexed.structuredContent.indexed;
let notes = 0;
const exported = await client.callTool(
    { name: "bulk_export", arguments: { index: "things", destination: "file" } },
    undefined,
    { onprogress: () => { notes += 1; } },
);
seen.exported = exported.structuredContent.count;
seen.progress = notes > 0;

seen.ping = (await client.ping()) !== undefined;
await client.close();
console.log(JSON.stringify(seen));

// A server of the TypeScript SDK with one tool, to compare with: typescript.mjs NODE_MODULES
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [modules] = process.argv.slice(2);
const require = createRequire(path.join(modules, "x.js"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { McpServer } = await load("@modelcontextprotocol/sdk/server/mcp.js");
const { StdioServerTransport } = await load("@modelcontextprotocol/sdk/server/stdio.js");
const { z } = await load("zod");

const server = new McpServer({ name: "typescript-peer", version: "1" });
server.registerTool(
    "measure_text",
    {
        description: "Gives a text back with its length.",
        inputSchema: { text: z.string() },
        outputSchema: { length: z.number(), text: z.string() },
    },
    async ({ text }) => {
        const structuredContent = { length: text.length, text };
        return { content: [{ type: "text", text: JSON.stringify(structuredContent) }], structuredContent };
    },
);
await server.connect(new StdioServerTransport());

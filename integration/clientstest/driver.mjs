// Drives a TypeScript MCP client, of the major version that the first argument
// names; v2 of the third as its version negotiation. It reads commands as lines of JSON, {"id", "do", ...}, and writes what they come to,
// {"id", "result"} or {"id", "error"}, and between them what the client tells of
// itself, {"notification"}, {"trouble"} and, when
// listening ends, {"closed"}.
import { createInterface } from 'node:readline';

const [version, url, mode = 'legacy'] = process.argv.slice(2);
const print = line => process.stdout.write(JSON.stringify(line) + '\n');

const info = { name: 'typescript-' + version, version: '1' };
const capabilities = { elicitation: {}, sampling: {}, roots: {} };
const answers = {
	'elicitation/create': async () => ({ action: 'accept', content: { username: 'ann', email: 'ann@example.com', name: 'ann' } }),
	'sampling/createMessage': async () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'from ' + version } }),
	'roots/list': async () => ({ roots: [{ uri: 'file:///a' }, { uri: 'file:///b' }] }),
};

let client, transport, call;
if (version === 'v1') {
	const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
	const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
	const { ElicitRequestSchema, CreateMessageRequestSchema, ListRootsRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
	client = new Client(info, { capabilities });
	transport = new StreamableHTTPClientTransport(new URL(url));
	for (const [schema, method] of [[ElicitRequestSchema, 'elicitation/create'], [CreateMessageRequestSchema, 'sampling/createMessage'], [ListRootsRequestSchema, 'roots/list']]) {
		client.setRequestHandler(schema, answers[method]);
	}
	call = (params, options) => client.callTool(params, undefined, options);
} else {
	const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
	const negotiation = mode === 'legacy' || mode === 'auto' ? mode : { pin: mode };
	client = new Client(info, { capabilities, versionNegotiation: { mode: negotiation } });
	transport = new StreamableHTTPClientTransport(new URL(url));
	for (const method in answers) client.setRequestHandler(method, answers[method]);
	call = (params, options) => client.callTool(params, options);
}
client.fallbackNotificationHandler = async n => print({ notification: { method: n.method, params: n.params } });
client.onerror = e => print({ trouble: String(e) });

const commands = {
	connect: async () => {
		await client.connect(transport);
		return { session: transport.sessionId, protocol: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion };
	},
	list: async () => (await client.listTools()).tools.map(tool => tool.name),
	call: async ({ tool, args }) => {
		let progress = 0;
		const result = await call({ name: tool, arguments: args }, { onprogress: () => progress++ });
		return { text: result.content[0].text, progress };
	},
	subscribe: async ({ uri }) => void (await client.subscribeResource({ uri })),
	listen: async ({ uri }) => {
		const subscription = await client.listen({ resourceSubscriptions: [uri] });
		subscription.closed.then(why => print({ closed: why }));
	},
	terminate: async () => void (await transport.terminateSession()),
};

for await (const line of createInterface({ input: process.stdin })) {
	const { id, do: name, ...args } = JSON.parse(line);
	commands[name](args).then(
		result => print({ id, result: result ?? null }),
		error => print({ id, error: String(error) }),
	);
}
process.exit(0);

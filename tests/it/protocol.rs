//! MCP as clients of all revisions speak it.

use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    slow_engine::SlowEngine,
};

const MODERN: &str = "2026-07-28";

fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

fn names(list: &Value) -> Vec<String> {
    list["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_older_revision_is_agreed_on_and_an_unknown_one_gets_the_newest_of_them() {
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2031-01-01", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
        (MODERN, "2025-11-25"),
    ] {
        let mut board = Binary::with(Streams::Pipes, |_| {});
        let answer = board.initialize(asked);
        assert_eq!(answer["result"]["protocolVersion"], agreed, "{asked}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "callboard");
        assert_eq!(answer["result"]["serverInfo"]["title"], "Callboard");
        assert_eq!(answer["result"]["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
        let instructions = answer["result"]["instructions"].as_str().unwrap();
        assert!((200..=2_048).contains(&instructions.chars().count()), "{}", instructions.len());
        // What came later than the revision is not sent to it.
        let list = board.request("tools/list", &json!({}));
        for later in ["resultType", "ttlMs", "cacheScope"] {
            assert!(list["result"].get(later).is_none(), "{asked}: {later}");
        }
        let called = board.call("get_server_info", "{}");
        assert!(called.get("resultType").is_none());
        assert_eq!(board.request("ping", &json!({}))["result"], json!({}));
        assert_eq!(board.request("logging/setLevel", &json!({"level": "debug"}))["result"], json!({}));
    }
}

#[test]
fn the_newest_revision_needs_no_handshake() {
    let mut board = Binary::with(Streams::Pipes, |_| {});
    let discovered = board.request("server/discover", &modern(json!({})));
    let versions = discovered["result"]["supportedVersions"].as_array().unwrap_or_else(|| panic!("{discovered}"));
    assert!(versions.contains(&json!(MODERN)) && versions.contains(&json!("2025-06-18")), "{discovered}");
    let list = board.request("tools/list", &modern(json!({})));
    assert_eq!(list["result"]["resultType"], "complete");
    assert_eq!(list["result"]["cacheScope"], "public");
    assert!(list["result"]["ttlMs"].as_u64().unwrap() > 0);
    let params = modern(json!({"name": "get_server_info", "arguments": {}}));
    let called = board.request("tools/call", &params);
    assert_eq!(called["result"]["resultType"], "complete");
    assert_eq!(called["result"]["structuredContent"]["version"], env!("CARGO_PKG_VERSION"));
    // An older client may share the stream.
    assert_eq!(board.initialize("2025-06-18")["result"]["protocolVersion"], "2025-06-18");
    assert!(board.call("get_server_info", "{}").get("resultType").is_none());
    assert_eq!(board.request("tools/call", &params)["result"]["resultType"], "complete");
}

#[test]
fn requests_of_the_newest_revision_are_held_to_its_rules() {
    let mut board = Binary::with(Streams::Pipes, |_| {});
    let mut unknown = modern(json!({}));
    unknown["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    let answer = board.request("tools/list", &unknown);
    assert_eq!(answer["error"]["code"], -32022, "{answer}");
    assert!(answer["error"]["data"]["supported"].as_array().unwrap().contains(&json!(MODERN)));
    let lacking = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": MODERN}});
    assert_eq!(board.request("tools/list", &lacking)["error"]["code"], -32602);
    assert_eq!(board.request("ping", &modern(json!({})))["error"]["code"], -32601);
}

#[test]
fn a_call_before_any_handshake_is_served() {
    let mut board = Binary::with(Streams::Pipes, |_| {});
    assert_eq!(board.answer("get_server_info", "{}")["version"], env!("CARGO_PKG_VERSION"));
    assert!(!names(&board.request("tools/list", &json!({}))).is_empty());
}

#[test]
fn a_sparse_handshake_is_accepted_and_one_without_revision_is_not() {
    let mut board = Binary::with(Streams::Pipes, |_| {});
    let answer = board.request("initialize", &json!({"protocolVersion": "2025-06-18"}));
    assert_eq!(answer["result"]["protocolVersion"], "2025-06-18");
    let answer = board.request("initialize", &json!({}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("protocolVersion"), "{answer}");
}

#[test]
fn other_names_of_two_methods_are_understood() {
    let mut board = Binary::serve();
    let list = board.request("list_tools", &json!({}));
    assert_eq!(names(&list), names(&board.request("tools/list", &json!({}))));
    let called = board.request("call_tool", &json!({"name": "get_server_info", "arguments": {}}));
    assert_eq!(called["result"]["structuredContent"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn unknown_methods_and_wrong_params_are_protocol_errors() {
    let mut board = Binary::serve();
    for method in ["tools/lst", "", "initialized", "resources/subscribe", "tasks/get"] {
        let answer = board.request(method, &json!({"uri": "x", "taskId": "x"}));
        assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
    }
    for params in [json!({}), json!({"name": 5}), json!({"name": null}), json!({"arguments": {}})] {
        let answer = board.request("tools/call", &params);
        assert_eq!(answer["error"]["code"], -32602, "{params}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("tool call"), "{answer}");
    }
    let answer = board.request("tools/list", &json!({"cursor": "made-up"}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert_eq!(board.request("resources/read", &json!({}))["error"]["code"], -32602);
}

#[test]
fn arguments_in_the_shapes_that_hosts_send_are_read() {
    let mut board = Binary::serve();
    let whole = board.answer("list_tables", "{}");
    for arguments in [
        "null",
        r#""{}""#,
        r#"{"schema":null,"limit":null}"#,
        r#"{"limit":"10"}"#,
        r#""{\"limit\": 10}""#,
        r#"{"limit":"10","cursor":null}"#,
    ] {
        assert_eq!(board.answer("list_tables", arguments), whole, "{arguments}");
    }
    let answer = board.request("tools/call", &json!({"name": "list_tables"}));
    assert_eq!(answer["result"]["structuredContent"], whole);
}

#[test]
fn a_wrong_argument_is_named_with_what_is_accepted() {
    let mut board = Binary::serve();
    let cases = [
        (r#"{"limit":0}"#, "limit", "1 to 10000"),
        (r#"{"limit":10001}"#, "limit", "1 to 10000"),
        (r#"{"limit":-5}"#, "limit", "1 to 10000"),
        (r#"{"limit":1e300}"#, "limit", "1 to 10000"),
        (r#"{"limit":"0"}"#, "limit", "1 to 10000"),
        (r#"{"limit":1.5}"#, "limit", "a whole number"),
        (r#"{"limit":"many"}"#, "limit", "a whole number"),
        (r#"{"limit":true}"#, "limit", "a whole number"),
        (r#"{"limit":[1]}"#, "limit", "a whole number"),
        (r#"{"schema":5}"#, "schema", "a string"),
        (r#"{"limit":1,"limit":2}"#, "limit", "twice"),
        (r#"{"limit":"1","limit":2}"#, "limit", "twice"),
        (r#"{"limits":1}"#, "limits", "`limits`"),
        ("[1]", "arguments", "an object"),
        ("5", "arguments", "an object"),
        (r#""text""#, "arguments", "an object"),
        (r#"["main"]"#, "arguments", "an object"),
    ];
    for (arguments, argument, words) in cases {
        let failure = board.refused("list_tables", arguments);
        assert_eq!(failure["code"], "invalid", "{arguments} → {failure}");
        assert_eq!(failure["argument"], argument, "{arguments} → {failure}");
        assert!(failure["message"].as_str().unwrap().contains(words), "{arguments} → {failure}");
        assert_eq!(failure["retryable"], false);
    }
    assert_eq!(board.refused("list_tables", r#"{"limits":1}"#)["did_you_mean"], json!(["limit"]));
    let failure = board.refused("bulk_insert", r#"{"table":"t","rows":[{}],"on_conflict":"upsert"}"#);
    assert_eq!(failure["argument"], "on_conflict", "{failure}");
    assert!(failure["message"].as_str().unwrap().contains("error, ignore, update"), "{failure}");
}

/// Arguments whose names say all, or that the instructions explain once for all tools.
const SAY_ALL: [&str; 22] = [
    "action",
    "aggs",
    "agent_id",
    "cursor",
    "database",
    "error",
    "expected_version",
    "fields",
    "format",
    "idempotency_key",
    "input",
    "lease_token",
    "limit",
    "message",
    "metric",
    "outcome",
    "parent_id",
    "reason",
    "result",
    "role",
    "type",
    "workflow_id",
];

#[test]
fn the_list_of_tools_is_small_stable_and_portable() {
    let mut board = Binary::serve();
    let list = board.request("tools/list", &json!({}));
    assert_eq!(list, {
        let mut again = board.request("tools/list", &json!({}));
        again["id"] = list["id"].clone();
        again
    });
    for tool in list["result"]["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        assert!(name.len() <= 40 && !name.contains("__"), "{name}");
        assert!(tool["description"].as_str().unwrap().chars().count() <= 2_048, "{name}");
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][hint].is_boolean(), "{name}: {hint}");
        }
        assert!(tool["outputSchema"].get("required").is_none(), "{name}: failures are held against it too");
        for (argument, schema) in tool["inputSchema"]["properties"].as_object().into_iter().flatten() {
            assert!(
                SAY_ALL.contains(&argument.as_str()) || schema["description"].is_string(),
                "{name}.{argument} has no description"
            );
            assert!(schema["type"].is_string(), "{name}.{argument} has no type");
        }
    }
}

#[test]
fn answers_are_shaped_as_the_setting_says() {
    for mode in ["both", "text", "structured"] {
        let mut board = Binary::with(Streams::Pipes, |command| {
            command.env("CALLBOARD_ANSWERS", mode);
        });
        board.initialize("2025-06-18");
        let list = board.request("tools/list", &json!({}));
        let with_schema =
            list["result"]["tools"].as_array().unwrap().iter().all(|tool| tool["outputSchema"].is_object());
        let result = board.call("get_server_info", "{}");
        let text = result["content"][0]["text"].as_str().unwrap();
        let failure = board.call("count_rows", "{}");
        let failed: Value = serde_json::from_str(failure["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!((&failed["code"], &failure["isError"]), (&json!("invalid"), &json!(true)), "{mode}");
        assert_eq!(result["content"].as_array().unwrap().len(), 1);
        match mode {
            "text" => {
                assert!(result.get("structuredContent").is_none() && failure.get("structuredContent").is_none());
                assert!(
                    list["result"]["tools"].as_array().unwrap().iter().all(|tool| tool.get("outputSchema").is_none())
                );
                assert!(serde_json::from_str::<Value>(text).unwrap().is_object());
            }
            "structured" => {
                assert!(with_schema && result["structuredContent"].is_object());
                assert!(text.len() < 100, "{text}");
                assert_eq!(failure["structuredContent"], failed);
            }
            _ => {
                assert!(with_schema);
                assert_eq!(serde_json::from_str::<Value>(text).unwrap(), result["structuredContent"]);
                assert_eq!(failure["structuredContent"], failed);
            }
        }
    }
}

#[test]
fn an_older_call_is_cancelled_by_its_id_and_only_it() {
    let engine = SlowEngine::start();
    let mut board = Binary::with(Streams::Sockets, |command| {
        command.env("ELASTICSEARCH_URL", engine.url());
    });
    board.initialize("2025-06-18");
    let call = |id: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"count_documents","arguments":{{"index":"slow"}}}}}}"#
        )
    };
    board.send(&call("7"));
    engine.wait_for_held(1);
    board.send(&call(r#""7""#));
    engine.wait_for_held(2);
    // A number is not the string of its digits.
    board.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"7"}}"#);
    board.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}"#);
    board.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#);
    engine.wait_for_abandoned(1);
    engine.open();
    assert_eq!(board.answer_to(&json!(7))["result"]["structuredContent"]["count"], 3);
    board.end_input();
    assert_eq!(board.rest(), Vec::<Value>::new());
    assert!(board.wait().0.success());
}

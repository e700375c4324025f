//! `sdk/finished-calls.md` followed step by step: a plugin with the hooks on finished calls, keys and a grant, from an empty folder to one
//! that passes its own tests, the check, and the gateway's.

use crate::blocks::{Project, blocks, pasted, place, shell};
use crate::python_client::root;

#[test]
fn the_second_plugin_step_by_step() {
    let steps = blocks(&root().join("sdk/finished-calls.md"));
    let sources: Vec<&str> = steps.iter().filter(|step| step.kind == "rust").filter_map(place).collect();
    assert_eq!(sources, ["src/lib.rs", "src/tests.rs"]);
    let [new, source, tests, build, drop_in] = steps.as_slice() else { panic!("{} blocks, not five", steps.len()) };
    let folder = tempfile::tempdir().unwrap();
    let made = shell(&format!("{}\npwd -P", new.text), folder.path(), &[]);
    let project = Project::at(std::path::Path::new(made.lines().last().expect("a folder")));
    pasted(&project.folder, source);
    pasted(&project.folder, tests);
    let output = project.run(&build.text);
    assert!(output.contains("test result: ok. 3 passed"), "{output}");
    for word in
        ["loads:     yes", "on-request, on-finish, on-complete", "kv (waits for it): to count the tokens of each key"]
    {
        assert!(output.contains(word), "{word} is not in:\n{output}");
    }
    project.run(&drop_in.text);
    let settings = std::fs::read_to_string(project.folder.join("plugins/day-budget.yaml")).unwrap();
    assert!(settings.contains("grants: { kv: {} }") && settings.contains("tokens: 20"), "{settings}");
    assert!(project.folder.join("plugins/day-budget.wasm").is_file());
}

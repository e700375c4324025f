// What the clients' programs share: they do the same things at every address of a plan and print what came of each.
//
// usage: node PROGRAM PLAN
//
// PLAN is a JSON file: {"roads": [{"name", "base_url", "prefix"}], "cases": [{"name", "request", "stream"}], "errors": [STATUS]}.
// Prints {ROAD: {SCENARIO: OUTCOME}}; judging is the caller's.

import { readFileSync } from "node:fs";

/** After how many milliseconds a caller leaves who gets no answer: long enough for the provider to have been asked on a loaded machine. */
export const PATIENCE = 2000;

/** What a call gives, or how it fails as the client's own error. Anything that is not the client's error ends the program. */
async function outcome(run, describe) {
  try {
    return await run();
  } catch (error) {
    const described = describe(error);
    if (described === undefined) throw error;
    return described;
  }
}

/** `scenarios(plan, road)` gives pairs of a name and a function; `describe(error)` a client's error as data. */
export async function main(scenarios, describe) {
  const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
  const results = {};
  for (const road of plan.roads) {
    results[road.name] = {};
    for (const [name, run] of scenarios(plan, road)) {
      results[road.name][name] = await outcome(run, describe);
    }
  }
  // Through the callback, because a pipe takes a long text in parts.
  process.stdout.write(JSON.stringify(results), () => process.exit(0));
}

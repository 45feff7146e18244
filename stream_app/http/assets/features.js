// The heaviest features of the newest checkpoint, by name, and what moved since the one before.

import { bars, byId, count, fixed, number, say } from "./format.js";
import { get, offered, Refused } from "./service.js";

const TOP = 12;

const unknown = (why) => {
  bars(byId("features"), [], `Not known: ${why}.`);
  bars(byId("movers"), [], "Not known.");
  say("movers-says", "");
};

// `unexplained` is why this learner has no such thing.
export async function features(checkpoint, unexplained) {
  if (unexplained) {
    unknown(unexplained);
    return;
  }
  if (!checkpoint) {
    bars(byId("features"), [], "No checkpoint yet.");
    bars(byId("movers"), [], "No checkpoint yet.");
    return;
  }
  const before = await earlier(checkpoint);
  const path = `/checkpoints/${checkpoint}/importance?top=${TOP}`;
  let found;
  try {
    found = (before && (await offered(`${path}&since=${before}`))) || (await get(path));
  } catch (error) {
    if (!(error instanceof Refused) || error.status >= 429) throw error;
    unknown(error.message);
    return;
  }
  bars(byId("features"), found.features.map((one) => [one.name, one.importance * Math.sign(one.weight || 1), `${number(one.importance)} (weight ${number(one.weight)})`]), "Nothing was learnt by name yet.");
  say("features-says", `Of the newest checkpoint: how much each one moves the score, by |weight| × spread over ${count(found.examples)} sampled events. Orange: the weight is below zero. ${count(found.collisions)} share their weight with another.`);
  const movement = found.since;
  if (!movement) {
    say("movers-says", "");
    bars(byId("movers"), [], "There is no other checkpoint to compare with.");
    return;
  }
  say("movers-says", `Since checkpoint ${before.slice(7, 19)}: the order of the fields agrees by ${fixed(movement.rank_correlation, 3)} (rank correlation). Orange: it lost importance.`);
  bars(byId("movers"), movement.features.map((one) => [one.name, one.change, `${number(one.before)} → ${number(one.after)}`]), "Nothing moved.");
}

// The last checkpoint before this one that is still kept.
async function earlier(checkpoint) {
  const listed = (await offered("/checkpoints"))?.checkpoints ?? [];
  const place = listed.findIndex((one) => one.id === checkpoint);
  return listed.slice(place + 1).find((one) => !one.damage)?.id;
}

-- What an agent did is looked up by the agent.
CREATE INDEX event_by_actor ON event (actor, seq) WHERE actor IS NOT NULL;

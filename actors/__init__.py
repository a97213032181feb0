"""All that lives in a Ray process: replicas, the pool client, the planner, workers and Ray Data stages."""

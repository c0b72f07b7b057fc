"""`/v1` and `/mcp`: the models for programs, in OpenAI's form and in one of our own, and as tools
for agents, beside the page.

A request becomes a `Request`, and what the backend answers becomes JSON or events; limits, queue
and models are the page's. It imports `models` alone, and knows no page.
"""

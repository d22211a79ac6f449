"""The way of one event or receipt: from the edge through the lake to the marts."""

"""Two projects: the house has the users, their sessions and their tokens; the stage has none of them."""

"""Character RNN: reads plays by Shakespeare and writes more of them."""

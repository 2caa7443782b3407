import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["EAGER_EXAMPLES_OFFLINE"] = "1"  # no test may reach for the network

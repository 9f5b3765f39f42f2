"""Names and addresses inside a cluster of the provider `machine`.

They lie in the cluster's own network namespace, so they are the same for every cluster and free to
collide with the machine's.
"""

from __future__ import annotations

NODE_NAME = "node-1"
NODE_ADDRESS = "10.200.0.1"
NODE_NETWORK = "10.200.0.1/24"
POD_NETWORK = "10.201.0.0/24"
SERVICE_NETWORK = "10.202.0.0/16"
API_SERVICE_ADDRESS = "10.202.0.1"
API_PORT = 6443
SERVER = f"https://127.0.0.1:{API_PORT}"
ETCD_CLIENTS = "http://127.0.0.1:2379"
ETCD_PEERS = "http://127.0.0.1:2380"

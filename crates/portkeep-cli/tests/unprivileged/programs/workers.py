"""A server that forks workers, which accept from one listener; each answers with its process id."""
import os
import socket

listener = socket.socket(socket.AF_INET6)
listener.bind(("::", int(os.environ["PORT"])))
listener.listen()
for _ in range(3):
    if os.fork() == 0:
        break
while True:
    connection, _ = listener.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()

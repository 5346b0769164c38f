# SPDX-License-Identifier: MIT
"""What all configurations of nginx in tests have: one worker in the foreground, which writes below {folder} and to stderr."""


def nginx_conf(http, main="", events=""):
    """A whole nginx.conf, for format(folder=...), around what the section `http` has besides."""
    return f"""daemon off;
worker_processes 1;
user root;
{main}
pid {{folder}}/pid;
error_log stderr;
events {{{{ {events} }}}}
http {{{{
  access_log off;
  client_body_temp_path {{folder}}/body;
  proxy_temp_path {{folder}}/proxy;
  fastcgi_temp_path {{folder}}/fastcgi;
  uwsgi_temp_path {{folder}}/uwsgi;
  scgi_temp_path {{folder}}/scgi;
{http}}}}}
"""

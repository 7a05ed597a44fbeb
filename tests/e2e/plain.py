"""httpd with as little around what is measured as it starts with."""

import os

from httpd import MPM, Httpd, load_line

MODULES = ("authn_core", "authz_core", "authz_user", "dir", "mime", "unixd", "watchdog")


class Plain(Httpd):
    rules = "AllowOverride None"  # for all files
    modules = MODULES

    def first(self):
        """Lines in front of all others but LoadModule."""
        return ""

    def common(self):
        user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
        return "".join(map(load_line, (f"mpm_{MPM}", *self.modules))) + self.first() + f"""
ServerRoot "{self.root}"
DefaultRuntimeDir "{self.root}/run"
PidFile "{self.root}/run/httpd.pid"
ServerName 127.0.0.1
Listen 127.0.0.1:{self.port}
{self.mpm()}
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
ErrorLog "{self.root}/logs/error"
TypesConfig /dev/null
AddType text/plain .txt
DocumentRoot "{self.root}/htdocs"
{user}
<Directory "{self.root}">
    {self.rules}
    Require all granted
</Directory>
"""

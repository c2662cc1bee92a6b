<?php
declare(strict_types=1);

/** What nginx is told of all sites, written into a folder that it includes. */
final class Nginx
{
    public function __construct(private readonly Settings $settings)
    {
    }

    /** @param Closure(Site): string $certificate gives the file with a site's key and certificates */
    public function text(Closure $certificate): string
    {
        $parts = [$this->common(), $this->status()];
        $parts[] = $this->settings->sites === [] ? $this->welcome() : $this->strangers();
        foreach ($this->settings->sites as $site) {
            $parts[] = $this->site($site, $certificate);
        }

        return implode("\n", $parts);
    }

    private function common(): string
    {
        $trusted = array_map(fn (string $one) => "set_real_ip_from $one;\n", $this->settings->trustedProxies);
        if ($trusted !== []) {
            $trusted[] = "real_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n";
        }
        $resolvers = self::resolvers();

        return implode('', $trusted) . <<<END
            server_tokens off;
            charset utf-8;
            gzip_proxied any;
            gzip_vary on;
            gzip_types text/css text/plain text/javascript application/javascript application/json application/xml image/svg+xml;
            ssl_session_timeout 1d;
            ssl_session_cache shared:web:10m;
            ssl_session_tickets off;
            limit_req_zone \$binary_remote_addr zone=login:10m rate=30r/m;
            limit_req_status 429;
            # Whoever is told of a port of the host's finds that in links, too.
            absolute_redirect off;
            map \$http_upgrade \$web_connection { default upgrade; '' ''; }
            $resolvers

            END;
    }

    /** Name servers, which a proxy asks when a request comes: one that is unknown ends no start. */
    private static function resolvers(): string
    {
        preg_match_all('/^nameserver\s+([0-9a-fA-F.:]+)\s*$/m', (string) @file_get_contents('/etc/resolv.conf'), $found);
        $written = array_map(fn (string $one) => str_contains($one, ':') ? "[$one]" : $one, $found[1]);

        return $written === [] ? '' : 'resolver ' . implode(' ', $written) . ' valid=30s;';
    }

    private function status(): string
    {
        return <<<'END'
            server {
                listen 127.0.0.1:8081;
                access_log off;
                location = /ready {
                    include /etc/nginx/fastcgi_params;
                    fastcgi_param SCRIPT_FILENAME /usr/share/web/ready.php;
                    fastcgi_pass unix:/run/web-php/ready.sock;
                }
                location / { return 404; }
            }

            END;
    }

    /** The page of a server that has no sites yet. */
    private function welcome(): string
    {
        return <<<'END'
            server {
                listen 80 default_server;
                listen [::]:80 default_server;
                root /usr/share/web/welcome;
                add_header X-Content-Type-Options nosniff always;
                add_header Referrer-Policy same-origin always;
                location / { try_files $uri $uri/ =404; }
            }

            END;
    }

    /** Whoever asks for a name that is no site's gets no answer at all. */
    private function strangers(): string
    {
        $tls = array_filter($this->settings->sites, fn (Site $site) => $site->tls) === [] ? '' : <<<'END'
            server {
                listen 443 ssl default_server;
                listen [::]:443 ssl default_server;
                ssl_reject_handshake on;
            }

            END;

        return <<<'END'
            server {
                listen 80 default_server;
                listen [::]:80 default_server;
                access_log off;
                return 444;
            }

            END . $tls;
    }

    /** @param Closure(Site): string $certificate */
    private function site(Site $site, Closure $certificate): string
    {
        $names = implode(' ', $site->names());
        $logs = "access_log /var/log/nginx/{$site->name}.access.log;\n"
            . "error_log /var/log/nginx/{$site->name}.error.log;\n";
        $challenges = 'location ^~ /.well-known/acme-challenge/ { alias ' . Certificates::CHALLENGES . "/; default_type text/plain; }\n";
        $plain = "listen 80;\nlisten [::]:80;\nserver_name $names;\n$logs$challenges";
        if (!$site->tls) {
            return self::server($plain . $this->body($site));
        }
        $file = $certificate($site);
        $hsts = $this->settings->hsts ? "add_header Strict-Transport-Security max-age=31536000 always;\n" : '';
        $secured = self::listensTls() . "server_name $names;\n$logs"
            . "ssl_certificate $file;\nssl_certificate_key $file;\nssl_protocols TLSv1.2 TLSv1.3;\n"
            . "ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;\nssl_prefer_server_ciphers off;\n$hsts";

        return self::server($plain . "location / { return 301 https://\$host\$request_uri; }\n")
            . self::server($secured . $challenges . $this->body($site));
    }

    private function body(Site $site): string
    {
        $limits = "client_max_body_size {$site->maxUpload}m;\n";

        return $limits . match ($site->kind) {
            'redirect' => "location / { return 301 {$site->to}; }\n",
            'proxy' => self::proxy($site),
            default => self::files($site),
        };
    }

    private static function proxy(Site $site): string
    {
        $to = rtrim($site->to, '/');

        return <<<END
            set \$web_upstream $to;
            location / {
                proxy_pass \$web_upstream\$request_uri;
                proxy_http_version 1.1;
                proxy_set_header Host \$host;
                proxy_set_header Upgrade \$http_upgrade;
                proxy_set_header Connection \$web_connection;
                proxy_set_header X-Real-IP \$remote_addr;
                proxy_set_header X-Forwarded-For \$remote_addr;
                proxy_set_header X-Forwarded-Proto \$scheme;
            }

            END;
    }

    private static function files(Site $site): string
    {
        // A link leads to nothing that its owner could not give away.
        $links = "disable_symlinks if_not_owner from=\$document_root;\n";
        $headers = "add_header X-Content-Type-Options nosniff always;\nadd_header Referrer-Policy strict-origin-when-cross-origin always;\n";
        // .git, .htpasswd and their kind, and what editors and dumps leave.
        $hidden = "location ~ (/\.(?!well-known/)|~\$|\.(bak|orig|sql|swp)\$) { return 404; }\n";
        $root = "root {$site->docroot()};\nindex index.php index.html;\n$links$headers$hidden";
        if (!$site->runsPhp()) {
            return $root . "location ~ \.php\$ { return 404; }\nlocation / { try_files \$uri \$uri/ =404; }\n";
        }
        $extra = $site->kind === 'wordpress' ? self::wordpress($site) : '';
        $php = self::php($site);
        // Without a folder: nothing below the file is asked for, so that x.jpg/y.php runs nothing.
        $rest = "location ~ \.php\$ { try_files \$uri =404; $php }\n"
            . "location / { try_files \$uri \$uri/ /index.php\$is_args\$args; }\n";

        return $root . $extra . $rest;
    }

    private static function wordpress(Site $site): string
    {
        $php = self::php($site);
        $shipped = '';
        foreach (WordPress::shipped() as $path) {
            // By itself: a link of the site's to it would be one to what is another's.
            $shipped .= 'location ^~ ' . substr($path, strlen('/usr/share/wordpress')) . "/ { expires 1d; "
                . "location ~ \.php\$ { try_files \$uri =404; $php } }\n";
        }

        return $shipped . <<<END
            # Its pages have one address, whatever name led there.
            if (\$host != {$site->name}) { return 301 \$scheme://{$site->name}\$request_uri; }
            location = /xmlrpc.php { return 404; }
            location = /wp-login.php { limit_req zone=login burst=10 nodelay; $php }
            # What visitors have given is shown, and never run.
            location ^~ /wp-content/uploads/ {
                root {$site->home()};
                location ~ \.(php[0-9]*|phtml|phar)(/|\$) { return 404; }
            }
            location ~ ^/wp-content/.*\.php\$ { root {$site->home()}; try_files \$uri =404; $php }
            location ^~ /wp-content/languages/ { return 404; }
            location /wp-content/ { root {$site->home()}; expires 1d; }

            END;
    }

    private static function php(Site $site): string
    {
        $secure = $site->tls ? 'on' : '';

        return 'include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; '
            . "fastcgi_param HTTPS \"$secure\"; fastcgi_param HTTP_PROXY \"\"; fastcgi_param HTTP_X_FORWARDED_PROTO \"\"; "
            . "fastcgi_param SERVER_NAME {$site->name}; "
            . ($site->kind === 'wordpress' ? 'fastcgi_param WORDPRESS_CONFIG ' . WordPress::key($site) . '; ' : '')
            . "fastcgi_read_timeout 300; fastcgi_pass unix:{$site->socket()};";
    }

    /** From 1.25.1 on HTTP/2 is asked for by a directive of its own. */
    private static function listensTls(): string
    {
        static $version = null;
        $version ??= preg_match('#nginx/([0-9.]+)#', run('/usr/sbin/nginx', '-v'), $found) ? $found[1] : '0';

        return version_compare($version, '1.25.1', '<')
            ? "listen 443 ssl http2;\nlisten [::]:443 ssl http2;\n"
            : "listen 443 ssl;\nlisten [::]:443 ssl;\nhttp2 on;\n";
    }

    private static function server(string $body): string
    {
        $lines = preg_replace('/^(?=.)/m', '    ', rtrim($body));

        return "server {\n$lines\n}\n";
    }
}

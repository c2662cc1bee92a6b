<?php
declare(strict_types=1);

/** WordPress as Debian has it: one program for all sites, and of each its own files and database. */
final class WordPress
{
    private const FOLDER = '/var/lib/web/wordpress';
    private const SHIPPED = '/usr/share/wordpress/wp-content';
    private const OWN = ['uploads', 'plugins', 'themes', 'mu-plugins', 'languages'];
    private const KEYS = [
        'AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY',
        'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT',
    ];

    /** What Debian's configuration calls that of a site: letters and digits, told by the web server. */
    public static function key(Site $site): string
    {
        return substr(hash('sha256', $site->name), 0, 16);
    }

    public static function config(Site $site): string
    {
        return '/etc/wordpress/config-' . self::key($site) . '.php';
    }

    /** The first administrator's password, as it was at first. */
    public static function passwordFile(Site $site): string
    {
        return self::FOLDER . "/{$site->name}.password";
    }

    /** Make a site's own folders, in which Debian's themes and plugins are shown. */
    public static function folders(Site $site): void
    {
        $content = "{$site->home()}/wp-content";
        $own = array_map(fn (string $name) => "$content/$name", self::OWN);
        Accounts::make($site->account(), ...$own);
        $links = [];
        foreach (self::shipped() as $path) {
            array_push($links, $path, "$content/" . substr($path, strlen(self::SHIPPED) + 1));
        }
        $script = 'while [ $# -gt 0 ]; do [ -e "$2" ] || [ -L "$2" ] || ln -s -- "$1" "$2"; shift 2; done';
        Accounts::as($site->account(), 'sh', '-c', $script, 'sh', ...$links);
    }

    /** @return list<string> Debian's themes and plugins, which nginx takes from where they are */
    public static function shipped(): array
    {
        return [...glob(self::SHIPPED . '/themes/*') ?: [], ...glob(self::SHIPPED . '/plugins/*') ?: []];
    }

    /** Write a site's configuration, and set it up where that was never done. */
    public static function settle(Site $site, string $seed): void
    {
        folder(self::FOLDER);
        writeWhole(self::config($site), self::text($site, $seed), 0640, $site->account());
        $file = self::passwordFile($site);
        if (!is_file($file)) {
            writeWhole("$file.made", rtrim(strtr(base64_encode(random_bytes(18)), '+/', '-_')) . "\n", 0640, $site->account());
        }
        self::as($site, '/usr/share/web/wordpress-install.php', json_encode([
            'title' => $site->title,
            'admin' => $site->admin,
            'email' => $site->email,
            'url' => ($site->tls ? 'https://' : 'http://') . $site->name,
            'password' => is_file($file) ? '' : "$file.made",
        ]));
        if (!is_file($file)) {
            chgrp("$file.made", 'root');
            chmod("$file.made", 0600);
            rename("$file.made", $file);
        }
    }

    /** Do what is due, such as publishing what was written to appear by now. */
    public static function cron(Site $site): void
    {
        self::as($site, '/usr/share/web/wordpress-cron.php');
    }

    private static function as(Site $site, string $script, string ...$arguments): void
    {
        $variables = ['WORDPRESS_CONFIG' => self::key($site), 'WEB_NAME' => $site->name];
        $php = ['php', '-d', "memory_limit={$site->memory}M", $script];
        Accounts::asWith($variables, $site->account(), ...[...$php, ...$arguments]);
    }

    private static function text(Site $site, string $seed): string
    {
        $account = $site->account();
        $content = "{$site->home()}/wp-content";
        $url = ($site->tls ? 'https://' : 'http://') . $site->name;
        $lines = '';
        foreach (self::KEYS as $key) {
            $value = hash_hmac('sha256', "{$site->name} $key", $seed);
            $lines .= "define('$key', '$value');\n";
        }

        return <<<END
            <?php
            // Written by webctl. Whoever may read it is the site itself, which comes to the database by
            // the socket.
            define('DB_NAME', '$account');
            define('DB_USER', '$account');
            define('DB_PASSWORD', '');
            define('DB_HOST', 'localhost:/run/mysqld/mysqld.sock');
            define('DB_CHARSET', 'utf8mb4');
            define('WP_CONTENT_DIR', '$content');
            define('WP_CONTENT_URL', '$url/wp-content');
            define('WP_HOME', '$url');
            define('WP_SITEURL', '$url');
            define('FS_METHOD', 'direct');
            define('DISALLOW_FILE_EDIT', true);
            define('DISABLE_WP_CRON', true);
            define('WP_AUTO_UPDATE_CORE', false);
            $lines
            END;
    }
}

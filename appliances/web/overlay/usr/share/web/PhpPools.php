<?php
declare(strict_types=1);

/** What PHP-FPM is told: a pool of processes for each site, as the site's own user. */
final class PhpPools
{
    /** What would lead out of PHP, to programs of this system. */
    private const OFF = 'exec,passthru,shell_exec,system,proc_open,popen,pcntl_exec,pcntl_fork,dl,posix_kill,'
        . 'posix_setuid,posix_setgid,link,symlink';

    public static function text(Settings $settings): string
    {
        $common = <<<'END'
            [global]
            error_log = syslog
            daemonize = no

            ; Tells whether this server is ready.
            [ready]
            user = www-data
            group = www-data
            listen = /run/web-php/ready.sock
            listen.owner = www-data
            listen.mode = 0600
            pm = ondemand
            pm.max_children = 2
            pm.process_idle_timeout = 10s
            php_admin_value[open_basedir] = /usr/share/web/ready.php:/var/lib/web/ready.json

            END;
        $pools = array_map(self::pool(...), array_filter($settings->sites, fn (Site $site) => $site->runsPhp()));

        return implode("\n", [$common, ...$pools]);
    }

    private static function pool(Site $site): string
    {
        $home = $site->home();
        $user = $site->account();
        $off = self::OFF;
        $reaches = $site->kind === 'wordpress'
            ? "$home/wp-content:$home/tmp:/usr/share/wordpress:/usr/share/php:/usr/share/javascript:" . WordPress::config($site)
            : "$home/htdocs:$home/tmp:/usr/share/php";

        return <<<END
            [{$site->name}]
            user = $user
            group = $user
            listen = {$site->socket()}
            listen.owner = www-data
            listen.mode = 0600
            pm = ondemand
            pm.max_children = {$site->workers}
            pm.process_idle_timeout = 60s
            pm.max_requests = 1000
            security.limit_extensions = .php
            catch_workers_output = yes
            php_admin_value[open_basedir] = $reaches
            php_admin_value[disable_functions] = $off
            php_admin_value[upload_tmp_dir] = $home/tmp
            php_admin_value[sys_temp_dir] = $home/tmp
            php_admin_value[session.save_path] = $home/tmp
            php_admin_value[memory_limit] = {$site->memory}M
            php_admin_value[post_max_size] = {$site->maxUpload}M
            php_admin_value[upload_max_filesize] = {$site->maxUpload}M
            php_admin_value[error_log] = syslog
            php_admin_flag[expose_php] = off
            php_admin_flag[display_errors] = off
            php_admin_flag[allow_url_include] = off
            php_admin_flag[cgi.fix_pathinfo] = off
            php_value[session.cookie_httponly] = 1
            php_value[session.use_strict_mode] = 1

            END;
    }
}

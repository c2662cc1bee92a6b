<?php
declare(strict_types=1);

/** Certificates: self-signed ones until an authority has given better ones, by ACME (RFC 8555). */
final class Certificates
{
    private const FOLDER = '/var/lib/web/tls';
    private const ACME = '/var/lib/web/acme';
    public const CHALLENGES = '/var/lib/web/challenges';

    /** The file with a site's key and certificates: one, so that both are always those of one issue. */
    public static function of(Site $site): string
    {
        return self::FOLDER . "/{$site->name}.pem";
    }

    /** Have a certificate for each site that is served by TLS. */
    public static function settle(Settings $settings): void
    {
        folder(self::FOLDER, 0700);
        folder(self::CHALLENGES);
        foreach ($settings->sites as $site) {
            if ($site->tls && !self::fits($site)) {
                writeWhole(self::of($site), self::selfSigned($site->names()), 0600);
            }
        }
    }

    /** @param list<string> $names */
    public static function selfSigned(array $names): string
    {
        $key = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
        $config = tempnam('/run/web', 'openssl');
        $alternatives = implode(',', array_map(fn (string $name) => "DNS:$name", $names));
        file_put_contents($config, "[req]\ndistinguished_name=dn\n[dn]\n[v3]\nsubjectAltName=$alternatives\n");
        $options = ['digest_alg' => 'sha256', 'config' => $config, 'x509_extensions' => 'v3'];
        // A common name has 64 characters at most; who checks looks at the alternatives (RFC 6125).
        $request = openssl_csr_new(['commonName' => substr($names[0], 0, 64)], $key, $options);
        $certificate = openssl_csr_sign($request, null, $key, 3650, $options, random_int(1, PHP_INT_MAX));
        openssl_pkey_export($key, $private, null, $options);
        openssl_x509_export($certificate, $public);
        unlink($config);

        return $private . $public;
    }

    /** Ask the authority for what is missing or ends soon; only where the answers name somebody. */
    public static function renew(Settings $settings): void
    {
        $sites = array_filter($settings->sites, fn (Site $site) => $site->tls);
        if ($settings->acmeEmail === '' || $sites === []) {
            return;
        }
        folder(self::ACME, 0700);
        $rows = array_map(fn (Site $site) => implode(' ', $site->names()) . " > {$site->name}\n", $sites);
        writeWhole(self::ACME . '/domains.txt', implode('', $rows));
        writeWhole(self::ACME . '/config', self::config($settings), 0600);
        $trust = [];
        if ($settings->acmeCa !== '') {
            writeWhole(self::ACME . '/ca.pem', $settings->acmeCa);
            $trust = ['CURL_CA_BUNDLE' => self::ACME . '/ca.pem'];
        }
        $common = ['dehydrated', '--config', self::ACME . '/config'];
        runWith($trust, ...$common, ...['--register', '--accept-terms']);
        echo runWith($trust, ...$common, ...['--cron', '--keep-going']);
    }

    /** Take over what the authority has given; dehydrated's hook says it. */
    public static function deploy(string $name, string $key, string $chain): void
    {
        $site = Settings::read()->site($name);
        writeWhole(self::of($site), file_get_contents($key) . file_get_contents($chain), 0600);
        reread('nginx.service');
    }

    /** Tell whether there is a certificate for all names of a site. */
    private static function fits(Site $site): bool
    {
        $file = self::of($site);
        if (!is_file($file)) {
            return false;
        }
        $read = openssl_x509_parse(file_get_contents($file));
        if ($read === false || $read['validTo_time_t'] < time()) {
            return false;
        }
        preg_match_all('/DNS:([^,\s]+)/', $read['extensions']['subjectAltName'] ?? '', $found);

        return array_diff($site->names(), $found[1]) === [];
    }

    private static function config(Settings $settings): string
    {
        $folder = self::ACME;
        $challenges = self::CHALLENGES;

        return <<<END
            CA="{$settings->acmeDirectory}"
            CONTACT_EMAIL="{$settings->acmeEmail}"
            BASEDIR="$folder"
            DOMAINS_TXT="$folder/domains.txt"
            WELLKNOWN="$challenges"
            CHALLENGETYPE="http-01"
            KEY_ALGO="secp384r1"
            HOOK="/usr/share/web/acme-hook"

            END;
    }
}

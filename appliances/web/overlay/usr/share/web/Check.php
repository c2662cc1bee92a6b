<?php
declare(strict_types=1);

/** Asks each site for a page, as a visitor would, through the web server itself. */
final class Check
{
    public static function all(Settings $settings): void
    {
        $wrong = array_filter(array_map(self::problem(...), $settings->sites));
        if ($wrong !== []) {
            throw new Refused(implode('; ', $wrong));
        }
        echo 'all ', count($settings->sites), " sites answer\n";
    }

    private static function problem(Site $site): ?string
    {
        $path = $site->kind === 'wordpress' ? '/wp-login.php' : '/';
        $request = curl_init(($site->tls ? 'https://' : 'http://') . $site->name . $path);
        curl_setopt_array($request, [
            CURLOPT_CONNECT_TO => ["{$site->name}::127.0.0.1:"],
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT => 20,
            // The certificate may be self-signed; the probe of its own judges it.
            CURLOPT_SSL_VERIFYPEER => false,
        ]);
        $said = curl_exec($request);
        $status = curl_getinfo($request, CURLINFO_RESPONSE_CODE);
        // A site that has nothing to show yet is one all the same.
        $fine = $said !== false && $status < 500;

        return $fine ? null : "`{$site->name}` answers with " . ($said === false ? curl_error($request) : $status);
    }
}

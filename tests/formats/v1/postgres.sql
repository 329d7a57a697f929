SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public._admmgt_format (
    format bigint,
    began boolean
);
CREATE TABLE public._admmgt_history (
    seq bigint NOT NULL,
    namespace text,
    id text,
    kind text,
    direction text,
    at timestamp with time zone,
    run text,
    checksum text,
    origin text,
    step bigint,
    steps bigint,
    duration_us bigint,
    by text,
    host text,
    library text,
    detail text,
    body bytea,
    codec text,
    format bigint,
    heads text
);
INSERT INTO public._admmgt_format VALUES (1, true);
INSERT INTO public._admmgt_history VALUES (1, 'app', '0001_users', 'applied', 'up', '2026-11-21 20:03:36.179+00', 'ee8ef2963fd1111f', 'v1:sha256:12498161f8ce1ca929414fe500d9a43c2a62bb211540fbcaa45572b3a7c5df46', 'sql', NULL, 1, 1802, 'golden', 'desk', '0.1.0', NULL, '\x637265617465207461626c652075736572732028696420696e7465676572207072696d617279206b65792c206e616d652074657874206e6f74206e756c6c293b0a', 'plain', 1, 'app 1c36418df8a590e95042ac8eb218b6560a2b08aecc61495da47d303e58ffae26 1 1');
INSERT INTO public._admmgt_history VALUES (2, 'app', '0002_long', 'applied', 'up', '2026-11-21 20:03:36.196+00', 'ee8ef2963fd1111f', 'v1:sha256:f83f3b1ad96ce9d4aab7653a996286ae497a2c3a33575b5e81e2ea9b14e53272', 'sql', NULL, 101, 16583, 'golden', 'desk', '0.1.0', NULL, '\xedc9b10d80300c04c09e295c86929a6902bc224b96233986f91162810cf0eddd19a809c97a18c4ba37297a897aa221d67d511f88fca0fffd54bb31a46c4c2693c96432994c2673265f', 'deflate', 1, 'app 2ad6caefbb090b7db63d3fd551d1af2b962a4e1686ca3669dff250f61aa8589b 2 2');
INSERT INTO public._admmgt_history VALUES (3, 'app', '0003_bad', 'failed', 'up', '2026-11-21 20:03:36.212+00', '9426a43b3dde1525', 'v1:sha256:9da586ed511cb32ce86ac4cb662534db95d383d3f6c7bacc3b6ba38abf0b8b21', 'sql', NULL, NULL, NULL, 'golden', 'desk', '0.1.0', 'relation "nowhere" does not exist (SQLSTATE 42P01)', NULL, NULL, 1, 'app 2ad6caefbb090b7db63d3fd551d1af2b962a4e1686ca3669dff250f61aa8589b 2 3');
INSERT INTO public._admmgt_history VALUES (4, 'app', '0003_half', 'started', 'up', '2026-11-21 20:03:36.227+00', '24a06bfa2d080c1f', 'v1:sha256:1c3a38bf428b80da71ed01ec3e4b73c7e86f5d2a0ac6a9fe69c9a88e601714d5', 'sql', NULL, 3, NULL, 'golden', 'desk', '0.1.0', NULL, NULL, NULL, 1, 'app b2cf3109493ed2683451aca8c4c8f8d2cd0860dba80cee05851cab484b67b750 3 4');
INSERT INTO public._admmgt_history VALUES (5, 'app', '0003_half', 'step_done', 'up', '2026-11-21 20:03:36.227+00', '24a06bfa2d080c1f', 'v1:sha256:1c3a38bf428b80da71ed01ec3e4b73c7e86f5d2a0ac6a9fe69c9a88e601714d5', 'sql', 1, 3, 891, 'golden', 'desk', '0.1.0', 'v1:sha256:707b3c346cf6b3dcecf6fe4537e051caf5591030bb4dd56425dee7cb8d0e0ee2', NULL, NULL, 1, 'app b2cf3109493ed2683451aca8c4c8f8d2cd0860dba80cee05851cab484b67b750 3 5');
INSERT INTO public._admmgt_history VALUES (6, 'app', '0003_half', 'step_done', 'up', '2026-11-21 20:03:36.228+00', '24a06bfa2d080c1f', 'v1:sha256:1c3a38bf428b80da71ed01ec3e4b73c7e86f5d2a0ac6a9fe69c9a88e601714d5', 'sql', 2, 3, 9668, 'golden', 'desk', '0.1.0', 'v1:sha256:657fdc2b228b14a6aba717e5083daf48204274ab62d73ec8968bcd0c7568b157', NULL, NULL, 1, 'app b2cf3109493ed2683451aca8c4c8f8d2cd0860dba80cee05851cab484b67b750 3 6');
INSERT INTO public._admmgt_history VALUES (7, 'app', '0003_half', 'failed', 'up', '2026-11-21 20:03:36.24+00', '24a06bfa2d080c1f', 'v1:sha256:1c3a38bf428b80da71ed01ec3e4b73c7e86f5d2a0ac6a9fe69c9a88e601714d5', 'sql', NULL, NULL, NULL, 'golden', 'desk', '0.1.0', 'relation "nowhere" does not exist (SQLSTATE 42P01)', NULL, NULL, 1, 'app b2cf3109493ed2683451aca8c4c8f8d2cd0860dba80cee05851cab484b67b750 3 7');
INSERT INTO public._admmgt_history VALUES (8, 'app', '0003_half', 'resolved', 'up', '2026-11-21 20:03:36.252+00', '3a4f0135879231a8', 'v1:sha256:1c3a38bf428b80da71ed01ec3e4b73c7e86f5d2a0ac6a9fe69c9a88e601714d5', 'sql', NULL, NULL, NULL, 'golden', 'desk', '0.1.0', 'looked at by hand', NULL, NULL, 1, 'app 06ccb12d4baf0d2271f969afd291e7690de6b4607b18c956519894f256fb5cb7 3 8');
INSERT INTO public._admmgt_history VALUES (9, 'library', '0001_books', 'applied', 'up', '2026-11-21 20:03:36.266+00', '6cb940917c691d7f', 'v1:sha256:257e88275095079b260bd078a5a52e081e6974b0d6686c470b1ad140575525c2', 'sql', NULL, 1, 1644, 'golden', 'desk', '0.1.0', NULL, '\x637265617465207461626c6520626f6f6b732028696420696e7465676572207072696d617279206b657929', 'plain', 1, 'app 06ccb12d4baf0d2271f969afd291e7690de6b4607b18c956519894f256fb5cb7 3 8
library 4f6e52ef7d28cd89a30896e67ee97314740bca13a861bea564b138264c909643 1 9');
ALTER TABLE ONLY public._admmgt_history
    ADD CONSTRAINT _admmgt_history_pkey PRIMARY KEY (seq);

//! What a database looks like and what it holds.

use admmgt_testkit::{Data, Rows, Schema};
use sqlx::PgConnection;

use crate::{quote, wire};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Whose they are: neither the system's, nor ours, nor those of an extension. `n` is the schema.
const THEIRS: &str = r"n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'";

/// Each gives lines of the schema; `THEIRS` stands for that condition. Names are qualified: the search path is empty.
const QUESTIONS: [&str; 20] = [
    "select 'schema ' || quote_ident(nspname) || coalesce(' ' || nspacl::text, '') from pg_namespace n where THEIRS",
    "select 'extension ' || quote_ident(extname) from pg_extension where extname <> 'plpgsql'",
    r"select case relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
        when 'm' then 'materialized view' when 'f' then 'foreign table' when 'c' then 'type' else relkind::text end
      || ' ' || c.oid::regclass || case relpersistence when 'u' then ' unlogged' else '' end
      || case when relrowsecurity then ' row security' else '' end || case when relforcerowsecurity then ' forced' else '' end
      || coalesce(' ' || reloptions::text, '') || coalesce(' ' || relacl::text, '')
      || coalesce(' partition ' || pg_get_expr(relpartbound, c.oid), '') || coalesce(' partition by ' || pg_get_partkeydef(c.oid), '')
      || case when relkind in ('v', 'm') then ': ' || pg_get_viewdef(c.oid) else '' end
      from RELATIONS where relkind in ('r', 'p', 'v', 'm', 'f', 'c')",
    r"select 'column ' || c.oid::regclass || '.' || quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)
      || coalesce(' collate ' || quote_ident(collname), '') || case when attnotnull then ' not null' else '' end
      || case attidentity when 'a' then ' identity always' when 'd' then ' identity by default' else '' end
      || coalesce(case when attgenerated <> '' then ' generated ' else ' default ' end || pg_get_expr(adbin, adrelid), '')
      || coalesce(' ' || attacl::text, '')
      from RELATIONS join pg_attribute a on attrelid = c.oid and attnum > 0 and not attisdropped
      left join pg_attrdef d on adrelid = c.oid and adnum = attnum
      left join pg_type t on t.oid = atttypid left join pg_collation l on l.oid = attcollation and attcollation <> typcollation
      where relkind in ('r', 'p', 'v', 'm', 'f', 'c')",
    r"select 'constraint ' || quote_ident(conname) || ' on ' || c.oid::regclass || ': ' || pg_get_constraintdef(k.oid)
      from RELATIONS join pg_constraint k on conrelid = c.oid where contype <> 'n'",
    r"select 'index: ' || pg_get_indexdef(indexrelid) || case when indisvalid then '' else ' INVALID' end
      from RELATIONS join pg_index i on indrelid = c.oid",
    r"select 'trigger: ' || pg_get_triggerdef(g.oid) || ' ' || tgenabled::text
      from RELATIONS join pg_trigger g on tgrelid = c.oid where not tgisinternal",
    r"select 'rule: ' || pg_get_ruledef(r.oid) from RELATIONS join pg_rewrite r on ev_class = c.oid where rulename <> '_RETURN'",
    r"select 'policy ' || quote_ident(polname) || ' on ' || c.oid::regclass || ' ' || polcmd::text || ' ' || polpermissive || ' '
      || polroles::regrole[]::text || coalesce(' using ' || pg_get_expr(polqual, polrelid), '')
      || coalesce(' check ' || pg_get_expr(polwithcheck, polrelid), '') from RELATIONS join pg_policy p on polrelid = c.oid",
    r"select 'sequence ' || c.oid::regclass || ' ' || format_type(seqtypid, null) || ' ' || concat_ws(' ', seqstart, seqincrement, seqmin,
      seqmax, seqcache, seqcycle) || coalesce(' ' || relacl::text, '') from RELATIONS join pg_sequence s on seqrelid = c.oid",
    r"select 'function ' || case when prokind in ('a', 'w') then p.oid::regprocedure::text else pg_get_functiondef(p.oid) end
      || coalesce(' ' || proacl::text, '') from pg_proc p join pg_namespace n on n.oid = pronamespace
      where THEIRS and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')",
    r"select 'type ' || t.oid::regtype || ' ' || typtype::text
      || coalesce(' ' || (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid), '')
      || case when typtype = 'd' then ' ' || format_type(typbasetype, typtypmod) || coalesce(' default ' || typdefault, '')
           || case when typnotnull then ' not null' else '' end
           || coalesce(' ' || (select string_agg(pg_get_constraintdef(oid), ' ' order by conname) from pg_constraint where contypid = t.oid), '')
         else '' end
      || coalesce(' of ' || (select rngsubtype::regtype::text from pg_range where rngtypid = t.oid), '')
      from pg_type t join pg_namespace n on n.oid = typnamespace where THEIRS and typtype in ('e', 'd', 'r')
      and not exists (select from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = t.oid and e.deptype = 'e')",
    r"select 'comment on ' || pg_describe_object(classoid, objoid, objsubid) || ': ' || description
      from pg_description where classoid in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass,
        'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass) and objoid >= 16384
      and pg_describe_object(classoid, objoid, objsubid) not like '%\_admmgt\_%'",
    r"select 'owner of ' || c.oid::regclass || ': ' || relowner::regrole from RELATIONS where relkind in ('r', 'p', 'v', 'm', 'f', 'S')",
    r"select 'inherits ' || inhrelid::regclass || ' from ' || inhparent::regclass from pg_inherits join RELATIONS on c.oid = inhrelid",
    r"select 'sequence ' || c.oid::regclass || ' owned by ' || pg_describe_object(refclassid, refobjid, refobjsubid) from RELATIONS
      join pg_depend p on p.classid = 'pg_class'::regclass and p.objid = c.oid and p.deptype in ('a', 'i')
      and p.refclassid = 'pg_class'::regclass where relkind = 'S'",
    "select 'publication ' || quote_ident(pubname) || ' ' || puballtables || pubinsert || pubupdate || pubdelete || pubtruncate from pg_publication",
    "select 'foreign data wrapper ' || quote_ident(fdwname) from pg_foreign_data_wrapper where oid >= 16384",
    // Whatever is of no kind above is a line at least: that it is there. What it is like is not compared.
    r"select distinct 'there is ' || pg_describe_object(classid, objid, 0) from pg_depend d where objid >= 16384 and deptype in ('n', 'a')
      and classid not in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_rewrite'::regclass,
        'pg_trigger'::regclass, 'pg_proc'::regclass, 'pg_policy'::regclass, 'pg_namespace'::regclass, 'pg_statistic_ext'::regclass)
      and not exists (select from pg_depend e where e.classid = d.classid and e.objid = d.objid and e.deptype = 'e')",
    r"select 'statistics: ' || pg_get_statisticsobjdef(s.oid) from pg_statistic_ext s join pg_namespace n on n.oid = stxnamespace where THEIRS",
];

/// The relations that are theirs, as `c`.
const RELATIONS: &str = r"(pg_class c join pg_namespace n on n.oid = c.relnamespace and THEIRS and c.relname not like '\_admmgt\_%'
    and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e'))";

pub(super) async fn schema(db: &mut PgConnection) -> Result<Schema> {
    wire::run(db, "set search_path = ''; set quote_all_identifiers = off".to_owned()).await?;
    let mut lines = Vec::new();
    for question in QUESTIONS {
        let question = question.replace("RELATIONS", RELATIONS).replace("THEIRS", THEIRS);
        lines.extend(wire::rows(db, question).await?.into_iter().flatten().flatten());
    }
    Ok(Schema::new(lines))
}

pub(super) async fn data(db: &mut PgConnection) -> Result<Data> {
    let columns = format!(
        "select c.oid::regclass, a.attname from {} join pg_attribute a on attrelid = c.oid and attnum > 0 and not attisdropped \
         where relkind in ('r', 'f') order by c.oid, attnum",
        RELATIONS.replace("THEIRS", THEIRS)
    );
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for row in wire::rows(db, columns).await? {
        let [Some(table), Some(column)] = &row[..] else { continue };
        match tables.last_mut() {
            Some((last, columns)) if last == table => columns.push(column.clone()),
            _ => tables.push((table.clone(), vec![column.clone()])),
        }
    }
    let mut data = Data::new();
    for (table, columns) in tables {
        let values: Vec<String> = columns.iter().map(|column| format!("{}::text", quote::name(column))).collect();
        let rows = wire::rows(db, format!("select {} from {table}", values.join(", "))).await?;
        data.insert(table, Rows::new(columns, rows));
    }
    Ok(data)
}

//! Users and roles in etcd. A user is the common name of a certificate and has no password.

use std::future::Future;

use etcd_client::{Client, Permission, UserAddOptions};
use portkeep_fleet_core::data::Name;

use super::error::Failure;
use super::{Engine, EngineError};

/// A role of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads what one node is to do, and writes what it reports.
    Node(Name),
    /// Serves jobs.
    Steward,
    /// Does all there is to do in the fleet.
    Operator,
    /// Reads all of the fleet.
    Viewer,
}

impl Role {
    fn name(&self, fleet: &Name) -> String {
        match self {
            Role::Node(node) => format!("portkeep/{fleet}/node/{node}"),
            Role::Steward => format!("portkeep/{fleet}/steward"),
            Role::Operator => format!("portkeep/{fleet}/operator"),
            Role::Viewer => format!("portkeep/{fleet}/viewer"),
        }
    }

    fn permissions(&self, prefix: &str) -> Vec<Permission> {
        let path = |rest: &str| format!("{prefix}{rest}");
        let all_below = |permission: Permission| permission.with_prefix();
        match self {
            Role::Node(node) => {
                let own = |rest: &str| path(&format!("n/{node}/{rest}"));
                vec![
                    all_below(Permission::read(own(""))),
                    all_below(Permission::read(path("policy/"))),
                    Permission::read(path("config")),
                    Permission::write(own("alive")),
                    Permission::write(own("busy")),
                    all_below(Permission::write(own("have/"))),
                    all_below(Permission::write(own("ask/"))),
                    all_below(Permission::write(own("reply/"))),
                ]
            }
            // A range of etcd's cannot have a node's name in the middle, so a steward writes all of `n/`.
            Role::Steward => vec![
                all_below(Permission::read(prefix)),
                all_below(Permission::write(path("grant/"))),
                all_below(Permission::write(path("members/"))),
                all_below(Permission::write(path("hold/"))),
                all_below(Permission::write(path("n/"))),
            ],
            Role::Operator => vec![all_below(Permission::read_write(prefix))],
            Role::Viewer => vec![all_below(Permission::read(prefix))],
        }
    }
}

impl Engine {
    /// Makes etcd ask everybody for a certificate with a role, and makes the fleet's roles. Does no harm
    /// a second time.
    ///
    /// # Errors
    ///
    /// If the certificate's common name is not `root`, and etcd asks already.
    pub async fn make_roles(&self) -> Result<(), EngineError> {
        self.make_user("root", "root").await?;
        for role in [Role::Steward, Role::Operator, Role::Viewer] {
            self.make_role(&role).await?;
        }
        let enabled = self.auth(|client| async move {
            let mut auth = client.auth_client();
            auth.auth_enable().await
        });
        enabled.await.map(drop)
    }

    /// Lets whoever has a certificate with this common name act in a role.
    ///
    /// # Errors
    ///
    /// If the user has other roles than those of a fleet's node, or etcd refuses it.
    pub async fn admit(&self, user: &str, role: &Role) -> Result<(), EngineError> {
        if let Role::Node(_) = role {
            let own = role.name(&self.config().name);
            let others = self.roles_of(user).await?;
            if let Some(other) = others.iter().find(|other| **other != own) {
                let text = format!("it has a user {user} with the role {other}");
                return Err(EngineError::Refused(text));
            }
            self.make_role(role).await?;
        }
        self.make_user(user, &role.name(&self.config().name)).await
    }

    /// Takes a node's user and role away: its certificate opens nothing any more.
    ///
    /// # Errors
    ///
    /// If etcd refuses it.
    pub async fn expel(&self, node: &Name) -> Result<(), EngineError> {
        let role = Role::Node(node.clone()).name(&self.config().name);
        let user = node.to_string();
        if self.roles_of(&user).await?.iter().all(|own| *own == role) {
            let gone = self.auth(|client| {
                let mut auth = client.auth_client();
                let user = user.clone();
                async move { auth.user_delete(user).await }
            });
            unless(gone.await, "not found")?;
        }
        let gone = self.auth(|client| {
            let mut auth = client.auth_client();
            let role = role.clone();
            async move { auth.role_delete(role).await }
        });
        unless(gone.await, "not found")
    }

    async fn roles_of(&self, user: &str) -> Result<Vec<String>, EngineError> {
        let found = self.auth(|client| {
            let mut auth = client.auth_client();
            let user = user.to_owned();
            async move { auth.user_get(user).await }
        });
        match found.await {
            Ok(found) => Ok(found.roles().to_vec()),
            Err(EngineError::Refused(text)) if text.contains("not found") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn make_role(&self, role: &Role) -> Result<(), EngineError> {
        let name = role.name(&self.config().name);
        self.make_named_role(&name).await?;
        for permission in role.permissions(self.prefix()) {
            let granted = self.auth(|client| {
                let mut auth = client.auth_client();
                let (name, permission) = (name.clone(), permission.clone());
                async move { auth.role_grant_permission(name, permission).await }
            });
            granted.await?;
        }
        Ok(())
    }

    async fn make_named_role(&self, name: &str) -> Result<(), EngineError> {
        let made = self.auth(|client| {
            let mut auth = client.auth_client();
            let name = name.to_owned();
            async move { auth.role_add(name).await }
        });
        unless(made.await, "already exists")
    }

    async fn make_user(&self, user: &str, role: &str) -> Result<(), EngineError> {
        let made = self.auth(|client| {
            let mut auth = client.auth_client();
            let user = user.to_owned();
            let options = UserAddOptions::new().with_no_pwd();
            async move { auth.user_add(user, "", Some(options)).await }
        });
        unless(made.await, "already exists")?;
        if role == "root" {
            self.make_named_role(role).await?;
        }
        let granted = self.auth(|client| {
            let mut auth = client.auth_client();
            let (user, role) = (user.to_owned(), role.to_owned());
            async move { auth.user_grant_role(user, role).await }
        });
        granted.await.map(drop)
    }

    /// What is asked here may be asked twice.
    async fn auth<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        self.ask(request).await.map_err(Failure::error)
    }
}

/// Takes a refusal with these words for success.
fn unless<T>(done: Result<T, EngineError>, words: &str) -> Result<(), EngineError> {
    match done {
        Err(EngineError::Refused(text)) if text.contains(words) => Ok(()),
        done => done.map(drop),
    }
}

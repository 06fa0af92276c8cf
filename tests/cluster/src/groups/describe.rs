//! Owns what tools ask of groups: DescribeGroups, ListGroups, DeleteGroups.
//!
//! Must not know how a group came to be what it is.

use klamm::messages::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsDescribedGroup,
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroupMember, ListGroupsRequest,
    ListGroupsResponse, ListedGroup,
};
use klamm::{ErrorCode, Str};

use super::Members;
use crate::cluster::Cluster;
use crate::connection::Call;
use crate::dispatch::Handled;

/// From this version on DescribeGroups says of a group that it is not there (KIP-1043).
const NOT_FOUND_FROM: i16 = 6;
/// The brokers' connections come from nowhere in particular.
pub(super) const CLIENT_HOST: &str = "/127.0.0.1";

impl Cluster {
    pub(crate) fn serve_describe_groups(
        &mut self,
        mut call: Call,
        request: DescribeGroupsRequest,
    ) -> Option<Handled> {
        let groups = request.groups.into_iter();
        let groups = groups.map(|id| self.described_group(&mut call, id));
        let response = DescribeGroupsResponse {
            groups: groups.collect(),
            throttle_time_ms: self.throttle_ms(),
        };
        let outcome = self.answer::<DescribeGroupsRequest>(&call, &response);
        Some((call, outcome))
    }

    fn described_group(&self, call: &mut Call, id: Str) -> DescribeGroupsDescribedGroup {
        let fault = call.met.answers.either_topic(&id);
        let wrong = self.check_coordinator(call.broker, &id).err();
        let refused = |error: ErrorCode, state: &'static str| DescribeGroupsDescribedGroup {
            error_code: error.0,
            group_id: id.clone(),
            group_state: Str::from_static(state),
            ..DescribeGroupsDescribedGroup::default()
        };
        if let Some(error) = fault.or(wrong) {
            return refused(error, "");
        }
        let Some(Members::Classic(classic)) = self.groups.get(&id).map(|group| &group.members)
        else {
            let error = if call.version >= NOT_FOUND_FROM {
                ErrorCode::GROUP_ID_NOT_FOUND
            } else {
                ErrorCode::NONE
            };
            return refused(error, "Dead");
        };
        let members = classic.described();
        let members = members.map(|member| DescribedGroupMember {
            member_id: member.member_id.clone(),
            group_instance_id: member.instance_id.cloned(),
            client_id: member.client_id.clone(),
            client_host: Str::from_static(CLIENT_HOST),
            member_metadata: member.metadata,
            member_assignment: member.assignment,
        });
        let protocol = classic.protocol();
        let protocol = protocol.filter(|_| classic.is_stable());
        DescribeGroupsDescribedGroup {
            group_id: id,
            group_state: Str::from_static(classic.state()),
            protocol_type: classic.protocol_type().cloned().unwrap_or_default(),
            protocol_data: protocol.cloned().unwrap_or_default(),
            members: members.collect(),
            ..DescribeGroupsDescribedGroup::default()
        }
    }

    pub(crate) fn serve_list_groups(
        &mut self,
        mut call: Call,
        request: ListGroupsRequest,
    ) -> Option<Handled> {
        let fault = Self::top_fault(&mut call);
        let wanted = |filter: &[Str], value: &str| {
            let mut filter = filter.iter().map(|wanted| wanted.trim().to_lowercase());
            filter.len() == 0 || filter.any(|wanted| wanted == value.to_lowercase())
        };
        let here = self.groups.all().filter(|(id, _)| {
            let coordinated = self.check_coordinator(call.broker, id);
            fault.is_none() && coordinated.is_ok()
        });
        let listed = here.map(|(id, group)| {
            let (protocol_type, group_type) = match &group.members {
                Members::Classic(classic) => (classic.protocol_type().cloned(), "classic"),
                Members::Consumer(_) => (Some(Str::from_static("consumer")), "consumer"),
            };
            ListedGroup {
                group_id: id.clone(),
                protocol_type: protocol_type.unwrap_or_default(),
                group_state: Str::from_static(group.members.state()),
                group_type: Str::from_static(group_type),
            }
        });
        let listed = listed.filter(|group| {
            wanted(&request.states_filter, &group.group_state)
                && wanted(&request.types_filter, &group.group_type)
        });
        let response = ListGroupsResponse {
            groups: listed.collect(),
            error_code: fault.unwrap_or(ErrorCode::NONE).0,
            throttle_time_ms: self.throttle_ms(),
        };
        let outcome = self.answer::<ListGroupsRequest>(&call, &response);
        Some((call, outcome))
    }

    pub(crate) fn serve_delete_groups(
        &mut self,
        mut call: Call,
        request: DeleteGroupsRequest,
    ) -> Option<Handled> {
        let mut results = Vec::with_capacity(request.groups_names.len());
        for id in request.groups_names {
            let fault = call.met.answers.either_topic(&id);
            let deleted = match fault {
                Some(error) => Err(error),
                None => self.delete_group(&call, &id),
            };
            results.push(DeletableGroupResult {
                group_id: id,
                error_code: deleted.err().unwrap_or(ErrorCode::NONE).0,
            });
        }
        let response = DeleteGroupsResponse {
            throttle_time_ms: self.throttle_ms(),
            results,
        };
        let outcome = self.answer::<DeleteGroupsRequest>(&call, &response);
        Some((call, outcome))
    }

    fn delete_group(&mut self, call: &Call, id: &Str) -> Result<(), ErrorCode> {
        self.check_coordinator(call.broker, id)?;
        let group = self.groups.get(id);
        let group = group.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        if !group.members.is_empty() {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        self.forget_group(id);
        Ok(())
    }
}
